;; Gives back one handle twice.
(import "wasi:cli/stdout@0.2.12" "get-stdout" (func $stdout (result i32)))
(import "wasi:io/streams@0.2.12" "[resource-drop]output-stream" (func $drop (param i32)))
(func (export "xnovu:rules/ruleset@0.1.0#admit") (param i32) (result i32)
  (local $stream i32)
  (local.set $stream (call $stdout))
  (call $drop (local.get $stream))
  (call $drop (local.get $stream))
  (i32.const 64))
