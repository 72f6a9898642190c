// What a model or a tool was asked and answered, read out of the recorded bodies: prompt, answer, tokens, tool calls.
//
// Understands the forms of OpenAI (chat completions, responses) and Anthropic (messages), streamed or not, MCP's
// `tools/call`, a tool that an agent recorded itself, and arguments and results of JSON-RPC and GraphQL. What it does not understand is left to the raw bodies.

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

const asText = (value) => (typeof value === "string" ? value : value === null || value === undefined ? "" : JSON.stringify(value));

/** The text of a message's content: a text, or parts of several kinds. */
function textOf(content) {
  if (!Array.isArray(content)) return asText(content);
  return content.map((part) => (isObject(part)
    ? part.text ?? part.thinking ?? (part.type === "tool_result" ? textOf(part.content) : part.type ? `[${part.type}]` : asText(part))
    : asText(part))).filter(Boolean).join("\n");
}

/** The objects of a stream of server-sent events. */
const chunksOf = (text) => text.split("\n").filter((line) => line.startsWith("data:"))
  .map((line) => parse(line.slice(5))).filter(isObject);

function asked(body) {
  const said = [];
  const add = (role, content) => { if (textOf(content)) said.push({ role, text: textOf(content) }); };
  add("system", body.system ?? body.instructions);
  for (const message of [body.messages ?? body.input ?? body.prompt ?? []].flat()) {
    if (isObject(message)) add(asText(message.role || message.type || "input"), message.content ?? message.output ?? message.arguments);
    else add("user", message);
  }
  return said;
}

/** Collects what an answer holds, whole or piece by piece. */
class Answer {
  text = "";
  calls = [];

  /** Add a piece of a tool call; pieces of the same `key` are one call. */
  call(key, name, input) {
    let found = this.calls.find((one) => one.key === key);
    if (!found) this.calls.push(found = { key, name: "", input: "" });
    found.name ||= asText(name);
    found.input += isObject(input) && !Object.keys(input).length ? "" : asText(input);
  }

  whole(body) {
    for (const choice of Array.isArray(body.choices) ? body.choices : []) this.message(choice.message ?? choice, "choice");
    for (const part of Array.isArray(body.content) ? body.content : []) this.part(part);
    for (const item of Array.isArray(body.output) ? body.output : []) {
      if (item?.type === "function_call") this.call(item.id ?? item.call_id, item.name, item.arguments);
      else if (item?.content) this.text += textOf(item.content);
    }
  }

  message(message, key) {
    this.text += textOf(message?.content ?? message?.text);
    for (const [index, call] of (Array.isArray(message?.tool_calls) ? message.tool_calls : []).entries()) {
      this.call(`${key} ${call.index ?? index}`, call.function?.name, call.function?.arguments);
    }
  }

  part(part) {
    if (part?.type === "tool_use") this.call(part.id, part.name, part.input);
    else this.text += textOf([part]);
  }

  chunk(chunk) {
    for (const choice of Array.isArray(chunk.choices) ? chunk.choices : []) this.message(choice.delta, "choice");
    if (chunk.type === "content_block_start" && chunk.content_block?.type === "tool_use") {
      this.call(chunk.index, chunk.content_block.name, chunk.content_block.input);
    } else if (chunk.type === "content_block_delta") {
      if (chunk.delta?.partial_json !== undefined) this.call(chunk.index, "", chunk.delta.partial_json);
      else this.text += asText(chunk.delta?.text);
    } else if (chunk.type === "response.output_text.delta") this.text += asText(chunk.delta);
    else if (chunk.type === "response.output_item.done" && chunk.item?.type === "function_call") {
      this.call(chunk.item.id, chunk.item.name, chunk.item.arguments);
    }
  }
}

/** Tokens as [name, number], by what the agent's side noted or by what the answer says. */
function tokensOf(event, answers) {
  const noted = event.custom_properties?.usage;
  if (isObject(noted)) return Object.entries(noted).filter(([, number]) => Number.isFinite(number));
  const usage = answers.map((one) => one.usage ?? one.message?.usage ?? one.response?.usage).filter(isObject).at(-1) ?? {};
  return [["input", usage.prompt_tokens ?? usage.input_tokens], ["output", usage.completion_tokens ?? usage.output_tokens]]
    .filter(([, number]) => Number.isFinite(number));
}

function ofModel(event, request, answers, isStream) {
  const answer = new Answer();
  for (const one of answers) {
    if (isStream) answer.chunk(one);
    else answer.whole(one);
  }
  const joined = event.metadata?.stream?.text;
  return {
    kind: "model",
    title: asText(event.custom_properties?.model ?? request.model),
    asked: asked(request),
    answer: typeof joined === "string" && joined ? joined : answer.text,
    calls: answer.calls.map(({ name, input }) => ({ name, input })),
    tokens: tokensOf(event, answers),
  };
}

function ofTool(event, request, answers) {
  const result = answers.at(-1);
  const said = isObject(result?.result) ? result.result : result?.error ?? result;
  const isRpc = request?.method === "tools/call" && isObject(request.params);
  const input = isRpc ? request.params.arguments : request ?? event.request_body;
  const output = isObject(said) && Array.isArray(said.content) ? textOf(said.content) : said ?? event.response_body;
  return {
    kind: "tool",
    title: asText(isRpc ? request.params.name : event.custom_properties?.tool ?? event.metadata?.operation?.target ?? ""),
    asked: asText(input) ? [{ role: "arguments", text: asText(input) }] : [],
    answer: asText(output),
    calls: [],
    tokens: [],
  };
}

/** Another operation whose request names its arguments: of JSON-RPC and its kin, or of GraphQL. */
function ofOperation(operation, request, answers) {
  const last = answers.at(-1);
  const isGraphql = operation.protocol === "graphql";
  const input = isGraphql ? request.variables : request.params?.arguments ?? request.params;
  return {
    kind: "operation",
    title: asText(operation.name),
    asked: [
      ...(isGraphql && request.query ? [{ role: "document", text: asText(request.query) }] : []),
      ...(asText(input) ? [{ role: "arguments", text: asText(input) }] : []),
    ],
    answer: asText(last?.error ?? last?.errors ?? last?.result ?? last?.data),
    calls: [],
    tokens: [],
  };
}

/** What a model, a tool or another operation was asked and answered; null for every other event. */
export function conversationOf(event) {
  const request = parse(event.request_body ?? "");
  const text = event.response_body ?? "";
  const isStream = /^\s*(?:event|data|id|:)/.test(text);
  const answers = isStream ? chunksOf(text) : [parse(text)].filter(isObject);
  if (event.metadata?.operation?.type === "tool" || request?.method === "tools/call" || event.custom_properties?.tool) {
    return ofTool(event, request, answers);
  }
  const operation = event.metadata?.operation;
  if (isObject(operation) && isObject(request) && ["mcp", "json-rpc", "a2a", "graphql"].includes(operation.protocol)) {
    return ofOperation(operation, request, answers);
  }
  const isPrompt = isObject(request) && typeof request.model === "string"
    && ["messages", "input", "prompt"].some((name) => name in request);
  return isPrompt || event.custom_properties?.usage ? ofModel(event, isObject(request) ? request : {}, answers, isStream) : null;
}
