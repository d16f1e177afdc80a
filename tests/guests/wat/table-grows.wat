;; Takes table elements until it gets no more, and then traps.
(table $table 1 funcref)
(func (export "xnovu:rules/ruleset@0.1.0#admit") (param i32) (result i32)
  (loop $again
    (if (i32.eq (table.grow $table (ref.null func) (i32.const 10000)) (i32.const -1)) (then unreachable))
    (br $again))
  unreachable)
