;; Divides zero by zero and looks whether the bits of the NaN show which processor it runs on.
(func (export "xnovu:rules/ruleset@0.1.0#admit") (param i32) (result i32)
  (if (i64.ne
        (i64.reinterpret_f64 (f64.div (f64.const -0x0p0) (f64.const 0x0p0)))
        (i64.const 0x7ff8000000000000))
    (then unreachable))
  (i32.const 64))
