// What a page asks for by itself keeps nobody logged in; and who is no longer logged in is told so,
// by the log-in that the page then leads to.
const UNASKED = { Accept: "application/json", "X-Medfed-Unasked": "1" };

export const ask = (address) => fetch(address, { headers: UNASKED }).catch(() => null);

// Whether the log-in is lost; null where nobody can say, since no answer came.
export async function lost() {
  const answer = await ask("/api/v1/me");
  return answer?.status === 401 ? true : answer?.ok ? false : null;
}
