;; Logs a line that is not UTF-8.
(import "xnovu:rules/log@0.1.0" "write" (func $write (param i32 i32 i32)))
(memory (export "memory") 2)
(data (i32.const 4096) "\ff\fe\fd\fc")
(func (export "xnovu:rules/ruleset@0.1.0#admit") (param i32) (result i32)
  (call $write (i32.const 1) (i32.const 4096) (i32.const 4))
  (i32.const 64))
