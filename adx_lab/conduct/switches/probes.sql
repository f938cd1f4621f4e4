-- name: rule_probes.lock_files
-- Nobody reads or writes files until the transaction ends: whoever asks for them is slow, for real.
-- writes: yes
LOCK TABLE files IN ACCESS EXCLUSIVE MODE;
