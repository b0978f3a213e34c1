#!/usr/bin/env bash
# SLURM on this one machine, to try launch/slurm.sbatch and to test it (Debian or Ubuntu, root):
#
#   source launch/slurm_here.sh   # installs slurm-wlm and munge if need be, and starts them
#   stop_slurm                    # ends them again
#
# A node with two CPUs, so that two tasks run at a time. Its state lives in $SLURM_HERE.
SLURM_HERE=${SLURM_HERE:-$(mktemp -d -t slurm_here.XXXXXX)}
export SLURM_HERE SLURM_CONF=$SLURM_HERE/slurm.conf

if ! command -v slurmctld >/dev/null || ! command -v munged >/dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurm-wlm munge
fi

cat >"$SLURM_CONF" <<CONF
ClusterName=here
SlurmctldHost=localhost
SlurmctldPort=16817
SlurmdPort=16818
SlurmUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$SLURM_HERE/munge.socket
StateSaveLocation=$SLURM_HERE/state
SlurmdSpoolDir=$SLURM_HERE/spool
SlurmctldPidFile=$SLURM_HERE/slurmctld.pid
SlurmdPidFile=$SLURM_HERE/slurmd.pid
SlurmctldLogFile=$SLURM_HERE/slurmctld.log
SlurmdLogFile=$SLURM_HERE/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
JobRequeue=1
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1,requeue_delay=1,batch_sched_delay=0
KillWait=5
MessageTimeout=60
MinJobAge=3600
NodeName=localhost CPUs=2 RealMemory=1000 State=UNKNOWN
PartitionName=all Nodes=localhost Default=YES MaxTime=INFINITE State=UP
CONF
mkdir -p "$SLURM_HERE/state" "$SLURM_HERE/spool"
chmod 755 "$SLURM_HERE"
[[ -e $SLURM_HERE/munge.key ]] || dd if=/dev/urandom of="$SLURM_HERE/munge.key" bs=1024 count=1 status=none
chmod 400 "$SLURM_HERE/munge.key"
munged --force --key-file="$SLURM_HERE/munge.key" --socket="$SLURM_HERE/munge.socket" \
  --pid-file="$SLURM_HERE/munged.pid" --log-file="$SLURM_HERE/munged.log" \
  --seed-file="$SLURM_HERE/munge.seed"
slurmctld -f "$SLURM_CONF"
slurmd -f "$SLURM_CONF" -N localhost
for _ in $(seq 100); do
  sinfo --noheader --format=%T 2>/dev/null | grep -q idle && break
  sleep 0.1
done
sinfo

stop_slurm() {
  for daemon in slurmd slurmctld munged; do
    [[ -e $SLURM_HERE/$daemon.pid ]] && kill "$(cat "$SLURM_HERE/$daemon.pid")"
  done
  return 0
}
