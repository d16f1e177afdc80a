;; A few bytes far apart, which a host that prepares the memory's image would blow up to almost 16 MiB.
(memory (export "memory") 256)
(data (i32.const 0) "\01")
(data (i32.const 16777200) "\01")
