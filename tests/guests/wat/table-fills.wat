;; Fills a large table again and again: much work in one instruction.
(table $table 90000 funcref)
(func (export "xnovu:rules/ruleset@0.1.0#admit") (param i32) (result i32)
  (loop $again
    (table.fill $table (i32.const 0) (ref.null func) (i32.const 90000))
    (br $again))
  unreachable)
