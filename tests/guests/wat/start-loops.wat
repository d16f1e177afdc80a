;; Runs for ever while it is instantiated, before anything is asked.
(func $start (loop $again (br $again)))
(start $start)
