;; Answers a list of four thousand million messages that does not lie in its memory.
(func (export "xnovu:rules/ruleset@0.1.0#transform") (param i32) (result i32)
  (i32.store (i32.const 68) (i32.const 4096))
  (i32.store (i32.const 72) (i32.const -1))
  (i32.const 64))
