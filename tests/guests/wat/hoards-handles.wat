;; Takes handles of the host's and never gives one back.
(import "wasi:cli/stdout@0.2.12" "get-stdout" (func $stdout (result i32)))
(func (export "xnovu:rules/ruleset@0.1.0#admit") (param i32) (result i32)
  (loop $again (drop (call $stdout)) (br $again))
  unreachable)
