;; Reads behind the end of its memory, where another's would begin.
(func (export "xnovu:rules/ruleset@0.1.0#admit") (param i32) (result i32) (i32.load (i32.const 134217728)))
