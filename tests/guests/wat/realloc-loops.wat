;; Never ends when the host asks it for room for the event.
(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
  ;; The two bytes of the config, so that the binding is loaded.
  (if (i32.eq (local.get 3) (i32.const 2)) (then (return (i32.const 4096))))
  (loop $again (br $again))
  unreachable)
