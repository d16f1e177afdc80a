;; Takes memory while it is instantiated, and traps when it gets no more.
(memory (export "memory") 2)
(func $start
  (loop $again
    (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable))
    (br $again)))
(start $start)
