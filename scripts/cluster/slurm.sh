#!/bin/bash
# rpj on the nodes of one Slurm job: Ray on each of them, rpj on the first.
#
#     sbatch --nodes=4 scripts/cluster/slurm.sh run --all --config rpj.yaml --root out --memory 200G
#
# The words behind the script are those of rpj; --executor ray and the address are added. All nodes must reach the
# input, the models and the root by the same path or URL. RPJ_ENV names the environment to activate, RPJ_PORT the port.
# Two minutes before the time is over rpj is told to stop. The job then queues itself again and goes on from there;
# it does so too when a node or the Ray cluster was lost.
#SBATCH --job-name=rpj
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --time=48:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:TERM@120
set -uo pipefail

[ -n "${RPJ_ENV:-}" ] && . "$RPJ_ENV/bin/activate"
mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes[0]} port=${RPJ_PORT:-6379}
on() { srun --overlap --nodelist="$1" --nodes="$2" --ntasks="$2" "${@:3}"; } # NODES HOW-MANY COMMAND...

# Ray takes commands from whoever reaches its port and has the token: one for this job.
RAY_AUTH_MODE=token RAY_AUTH_TOKEN=$(python3 -c 'import secrets; print(secrets.token_hex(32))')
export RAY_AUTH_MODE RAY_AUTH_TOKEN RAY_USAGE_STATS_ENABLED=0
read -r ip _ < <(on "$head" 1 hostname --ip-address)
address=$ip:$port

on "$head" 1 ray start --head --node-ip-address="$ip" --port="$port" --block &
timeout 300 bash -c "until ray health-check --address $address > /dev/null 2>&1; do sleep 1; done" || {
    echo "Ray did not start on $head. Its log is in /tmp/ray there." >&2
    exit 7
}
if [ "${#nodes[@]}" -gt 1 ]; then # they join while rpj is at work already
    rest=$(IFS=,; echo "${nodes[*]:1}")
    on "$rest" $((${#nodes[@]} - 1)) ray start --address="$address" --block &
fi

on "$head" 1 rpj "$@" --executor ray --address "$address" &
run=$!
trap 'kill -TERM $run' TERM
wait $run
status=$?
while kill -0 $run 2> /dev/null; do # the signal ended the wait, not the run
    wait $run
    status=$?
done
case $status in
7 | 129 | 130 | 143) scontrol requeue "$SLURM_JOB_ID" ;; # it goes on where it was
esac
exit $status
