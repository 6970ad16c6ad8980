// What has this server counted, and what have all of them together? The same sums, whichever is asked.
const SUMS = ["sockets", "rateLimited", "cpuSeconds", "rssBytes"];
const SUMS_BY_NAME = ["received", "emitted", "accepted"];

// The row of one server.
export function rowOf({ settings, sessions, counters }) {
  const { user, system } = process.cpuUsage();
  return {
    instance: settings.instance,
    sockets: sessions.size,
    received: counters.received,
    emitted: counters.emitted,
    accepted: counters.accepted,
    rateLimited: counters.rateLimited,
    pid: process.pid,
    cpuSeconds: (user + system) / 1e6,
    rssBytes: process.memoryUsage.rss(),
    loopLagMsP99: counters.lagP99(),
  };
}

// `own`, with what all servers come to in place of its own counts, and the list of their rows. Counts, processor
// seconds and bytes are added up; the loop that lags most speaks for all. One that is gone has nothing left, and what
// it did still counts.
export function together(own, others) {
  const all = [own, ...others];
  const sums = SUMS.map((field) => [field, all.reduce((total, row) => total + row[field], 0)]);
  const sumsByName = SUMS_BY_NAME.map((field) => [field, merged(all.map((row) => row[field]))]);
  const loopLagMsP99 = Math.max(...all.map((row) => row.loopLagMsP99));
  const instances = all.sort((one, other) => (place(one) < place(other) ? -1 : 1));
  return { ...own, ...Object.fromEntries([...sums, ...sumsByName]), loopLagMsP99, instances };
}

// By name; a server that has come back stands after the one it was.
const place = ({ instance, gone = false }) => `${instance} ${gone ? 0 : 1}`;

function merged(tallies) {
  const total = {};
  for (const [name, times] of tallies.flatMap(Object.entries)) total[name] = (total[name] ?? 0) + times;
  return total;
}
