;; Points to an answer behind the end of its memory.
(func (export "xnovu:rules/ruleset@0.1.0#admit") (param i32) (result i32) (i32.const -64))
