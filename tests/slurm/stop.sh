#!/usr/bin/env bash
# usage: tests/slurm/stop.sh DIR     ends the SLURM that start.sh started in this folder, and its jobs
export SLURM_CONF=$1/slurm.conf
timeout 10 scancel --user=root 2> /dev/null
for _ in $(seq 40); do
  [ -n "$(timeout 5 squeue --noheader 2> /dev/null)" ] || break
  sleep 0.5
done
for each in slurmd slurmctld munge; do
  pid=$(cat "$1/$each.pid" 2> /dev/null) || continue
  kill "$pid" 2> /dev/null
  for _ in $(seq 50); do
    kill -0 "$pid" 2> /dev/null || break
    sleep 0.1
  done
done
exit 0
