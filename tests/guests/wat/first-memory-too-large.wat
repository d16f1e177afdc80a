;; Begins with 64 MiB of memory.
(memory (export "memory") 1024)
