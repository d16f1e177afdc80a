;; Answers, and never ends when it is told that the answer was read.
(func (export "cabi_post_xnovu:rules/ruleset@0.1.0#admit") (param i32) (loop $again (br $again)))
