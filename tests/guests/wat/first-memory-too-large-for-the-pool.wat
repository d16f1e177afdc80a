;; Begins with 1 GiB of memory, more than any binding may grant.
(memory (export "memory") 16384)
