;; Asks for 4 GiB in one go, and traps when it is refused.
(memory (export "memory") 2)
(func (export "xnovu:rules/ruleset@0.1.0#admit") (param i32) (result i32)
  (if (i32.eq (memory.grow (i32.const 65534)) (i32.const -1)) (then unreachable))
  (i32.const 64))
