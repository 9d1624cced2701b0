// Signs between words, as the page's language has them; LIST stands between the members of a list.
const chinese = document.documentElement.lang.startsWith("zh");

export const [COLON, COMMA, LIST, SEMICOLON] = chinese ? ["：", "，", "、", "；"] : [": ", ", ", ", ", "; "];
