;; Reads as much as there can be from standard input, again and again.
(import "wasi:cli/stdin@0.2.12" "get-stdin" (func $stdin (result i32)))
(import "wasi:io/streams@0.2.12" "[method]input-stream.blocking-read" (func $read (param i32 i64 i32)))
(memory (export "memory") 2)
(func (export "xnovu:rules/ruleset@0.1.0#admit") (param i32) (result i32)
  (local $in i32)
  (local.set $in (call $stdin))
  (loop $again
    (call $read (local.get $in) (i64.const -1) (i32.const 128))
    (br $again))
  unreachable)
