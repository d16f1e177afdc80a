;; Takes 16 MiB a time while it is instantiated, fills it, and traps when it gets no more.
(memory (export "memory") 1)
(func $start
  (local $at i32)
  (loop $again
    (local.set $at (memory.grow (i32.const 256)))
    (if (i32.eq (local.get $at) (i32.const -1)) (then unreachable))
    (memory.fill (i32.shl (local.get $at) (i32.const 16)) (i32.const 7) (i32.const 16777216))
    (br $again)))
(start $start)
