;; Calls exit.
(import "wasi:cli/exit@0.2.12" "exit" (func $exit (param i32)))
(func (export "xnovu:rules/ruleset@0.1.0#admit") (param i32) (result i32)
  (call $exit (i32.const 0))
  (i32.const 64))
