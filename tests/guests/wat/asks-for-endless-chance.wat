;; Asks for 16 EiB of random bytes in one call.
(import "wasi:random/random@0.2.12" "get-random-bytes" (func $random (param i64 i32)))
(memory (export "memory") 2)
(func (export "xnovu:rules/ruleset@0.1.0#admit") (param i32) (result i32)
  (call $random (i64.const -1) (i32.const 128))
  (i32.const 64))
