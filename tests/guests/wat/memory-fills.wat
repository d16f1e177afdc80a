;; Fills 24 MiB again and again: much work in one instruction, without a look at the clock.
(memory (export "memory") 384)
(func (export "xnovu:rules/ruleset@0.1.0#admit") (param i32) (result i32)
  (loop $again
    (memory.fill (i32.const 65536) (i32.const 7) (i32.const 25000000))
    (br $again))
  unreachable)
