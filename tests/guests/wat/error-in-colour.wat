;; Cannot answer, and says so in words that would clear an operator's screen and name its window.
(memory (export "memory") 2)
(data (i32.const 256) "\1b[2J\1b]0;all is well\07")
(func (export "xnovu:rules/ruleset@0.1.0#admit") (param i32) (result i32)
  (i32.store8 (i32.const 64) (i32.const 1))
  (i32.store (i32.const 72) (i32.const 256))
  (i32.store (i32.const 76) (i32.const 20))
  (i32.const 64))
