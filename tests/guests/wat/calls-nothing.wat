;; Calls an element of a table that is empty.
(table 1 funcref)
(func (export "xnovu:rules/ruleset@0.1.0#admit") (param i32) (result i32) (call_indirect (result i32) (i32.const 0)))
