;; Divides by zero.
(func (export "xnovu:rules/ruleset@0.1.0#admit") (param i32) (result i32) (i32.div_u (i32.const 1) (i32.const 0)))
