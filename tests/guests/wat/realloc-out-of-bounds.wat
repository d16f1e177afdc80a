;; Gives the host room that it does not have.
(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const -16))
