;; Answers ten thousand messages whose payloads are one and the same 60 KB of its memory: 600 MB to whoever copies them.
(memory (export "memory") 32)
(data (i32.const 16384) "{\"a\":\"")
(func (export "xnovu:rules/ruleset@0.1.0#transform") (param i32) (result i32)
  (local $message i32)
  (local.set $message (i32.const 131072))
  (loop $next
    (i32.store offset=16 (local.get $message) (i32.const 16384))
    (i32.store offset=20 (local.get $message) (i32.const 60000))
    (local.set $message (i32.add (local.get $message) (i32.const 72)))
    (br_if $next (i32.lt_u (local.get $message) (i32.const 851072))))
  (i32.store (i32.const 68) (i32.const 131072))
  (i32.store (i32.const 72) (i32.const 10000))
  (i32.const 64))
