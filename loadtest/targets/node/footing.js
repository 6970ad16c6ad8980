// What was agreed on when the log began?
//
// Its first entry says since when time passes, and with which switches: servers that differ in one of those would not
// do the same to their copies of the state.
import { inTime, isNo, shown } from "./redis.js";

// Lower than any id that Redis gives, so that it can be written into an empty log only: by one server.
export const FIRST_ID = "0-1";
const FIELD = "begun by node";
const SWITCHES = {
  RATE_LIMIT: "rateLimit",
  RATE_LIMIT_SCOPE: "rateLimitScope",
  RING_TIMEOUT: "ringTimeoutMs",
  PARTY_GRACE: "partyGraceMs",
  PRESENCE_GRACE: "presenceGraceMs",
  PRESENCE_BROADCAST: "presenceBroadcast",
  LIVECHAT_ASSIGN: "livechatAssign",
  VISITOR_GRACE: "visitorGraceMs",
  CLOCK_RATE: "clockRate",
};

// There is a log, and it is not for this server. `message` says why and what to do.
export class Disagreement extends Error {}

// The footing `{epoch, switches}` of the cluster, which this server lays if nobody has. Throws Disagreement, and what
// Redis does where it cannot be reached.
export async function agree(redis, log, settings) {
  const switches = Object.fromEntries(Object.entries(SWITCHES).map(([name, field]) => [name, settings[field]]));
  const own = JSON.stringify({ epoch: Date.now(), switches });
  try {
    await inTime(redis.ask("XADD", log, FIRST_ID, FIELD, own));
  } catch (error) {
    if (!isNo(error)) throw error; // else there is something already
  }
  const found = await footingOf(redis, log);
  if (found === undefined) {
    const where = `the key ${log} at ${shown(settings.redisUrl)}`;
    throw new Disagreement(`${where} is no log of this server: name another CLUSTER`);
  }
  const differing = Object.entries(switches).filter(([name, value]) => found.switches[name] !== value);
  if (!differing.length) return found;
  const words = differing.map(([name, value]) => `${name}=${found.switches[name]}, here it is ${value}`).join("; ");
  const advice = "give all instances the same switches, or name another CLUSTER";
  throw new Disagreement(`the cluster ${settings.cluster} was begun with ${words}: ${advice}`);
}

// The one that is there now; undefined if that is no log, or not ours.
export async function footingOf(redis, log) {
  let entries;
  try {
    entries = await inTime(redis.ask("XRANGE", log, "-", "+", "COUNT", "1"));
  } catch (error) {
    if (isNo(error)) return undefined;
    throw error;
  }
  const [[id, [field, text] = []] = []] = entries;
  return id === FIRST_ID && field === FIELD ? JSON.parse(text) : undefined;
}
