;; Answers, and calls the host when it is told that the answer was read.
(import "xnovu:rules/log@0.1.0" "write" (func $write (param i32 i32 i32)))
(memory (export "memory") 2)
(func (export "cabi_post_xnovu:rules/ruleset@0.1.0#admit") (param i32)
  (call $write (i32.const 1) (i32.const 0) (i32.const 4)))
