;; Calls the host while it is instantiated.
(import "xnovu:rules/log@0.1.0" "write" (func $write (param i32 i32 i32)))
(memory (export "memory") 2)
(func $start
  (loop $again
    (call $write (i32.const 1) (i32.const 0) (i32.const 4))
    (br $again)))
(start $start)
