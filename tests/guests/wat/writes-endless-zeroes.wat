;; Has the host write 16 EiB of zeroes to standard output, which it would have to make first.
(import "wasi:cli/stdout@0.2.12" "get-stdout" (func $stdout (result i32)))
(import "wasi:io/streams@0.2.12" "[method]output-stream.write-zeroes" (func $write (param i32 i64 i32)))
(memory (export "memory") 2)
(func (export "xnovu:rules/ruleset@0.1.0#admit") (param i32) (result i32)
  (call $write (call $stdout) (i64.const -1) (i32.const 128))
  (i32.const 64))
