;; Has more memories than a component may have.
(memory (export "memory") 1)
(memory 1) (memory 1) (memory 1) (memory 1)
