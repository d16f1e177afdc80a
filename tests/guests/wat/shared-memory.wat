;; Has a memory that threads could share.
(memory (export "memory") 1 2 shared)
