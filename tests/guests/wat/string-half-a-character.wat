;; Answers a reason that ends in the middle of a character.
(data (i32.const 4096) "a\c3")
(func (export "xnovu:rules/ruleset@0.1.0#admit") (param i32) (result i32)
  (i32.store8 (i32.const 72) (i32.const 2))
  (i32.store (i32.const 80) (i32.const 4096))
  (i32.store (i32.const 84) (i32.const 2))
  (i32.const 64))
