;; Asks for the time in a zone whose name has 200,000 bytes, again and again.
(import "xnovu:rules/calendar@0.1.0" "local" (func $local (param f64 i32 i32 i32)))
(memory (export "memory") 8)
(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096))
(func (export "xnovu:rules/ruleset@0.1.0#admit") (param i32) (result i32)
  (loop $again
    (call $local (f64.const 0) (i32.const 16384) (i32.const 200000) (i32.const 128))
    (br $again))
  unreachable)
