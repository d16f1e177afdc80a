;; Gives the host the same room for everything. That garbles its own view of the event and nobody else's.
(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096))
