;; Calls a function as if it were of another type.
(table funcref (elem $other))
(func $other (param f64) (result f64) (local.get 0))
(func (export "xnovu:rules/ruleset@0.1.0#admit") (param i32) (result i32) (call_indirect (result i32) (i32.const 0)))
