#!/usr/bin/env bash
# usage: tests/slurm/start.sh DIR     as root
# Starts a SLURM of one node with two processors, this machine, without systemd; all that it writes lies in the folder DIR,
# and it listens on the loopback alone. Ready when this ends: SLURM_CONF=DIR/slurm.conf sbatch ...
set -euo pipefail
mkdir -p "$1"
dir=$(cd "$1" && pwd)
host=$(hostname -s)
# A worker wants a core of its own, so the daemons may use all, whatever the caller may.
taskset --pid --cpu-list "0-$(($(nproc --all) - 1))" $$ > /dev/null
mkdir -m 700 "$dir/munge" "$dir/state" "$dir/spool"

# Messages are signed with a key of this folder's own: the system's munge is neither needed nor disturbed.
head -c 1024 /dev/urandom > "$dir/munge/key"
chmod 400 "$dir/munge/key"
munged --force --key-file="$dir/munge/key" --socket="$dir/munge/socket" --pid-file="$dir/munge.pid" \
  --log-file="$dir/munge/log" --seed-file="$dir/munge/seed"

read -r controller node < <(python3 -c '
import socket
both = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(each.getsockname()[1] for each in both))')
cat > "$dir/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$controller
SlurmdPort=$node
SlurmUser=root
SlurmdUser=root
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
AuthInfo=socket=$dir/munge/socket
CredType=cred/munge
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=1,sched_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
KillWait=10
NodeName=$host NodeAddr=127.0.0.1 CPUs=2 RealMemory=4000 State=UNKNOWN
PartitionName=short Nodes=$host Default=YES MaxTime=60 State=UP
CONF
export SLURM_CONF=$dir/slurm.conf
slurmctld -c
slurmd -N "$host"
for _ in $(seq 60); do
  if [ "$(sinfo --noheader --format=%t 2> /dev/null)" = idle ]; then
    echo "A SLURM of one node is up; stop it with: $(dirname "$0")/stop.sh $dir"
    exit
  fi
  sleep 0.5
done
echo "SLURM did not come up within 30 seconds:" >&2
tail -n 20 "$dir/slurmctld.log" "$dir/slurmd.log" >&2
"$(dirname "$0")/stop.sh" "$dir"
exit 1
