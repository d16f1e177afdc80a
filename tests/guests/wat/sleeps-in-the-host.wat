;; Waits in the host for an hour to pass, as `sleep` of a standard library does.
(import "wasi:clocks/monotonic-clock@0.2.12" "subscribe-duration" (func $subscribe (param i64) (result i32)))
(import "wasi:io/poll@0.2.12" "[method]pollable.block" (func $block (param i32)))
(func (export "xnovu:rules/ruleset@0.1.0#admit") (param i32) (result i32)
  (call $block (call $subscribe (i64.const 3600000000000)))
  (i32.const 64))
