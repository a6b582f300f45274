// A small real model behind OpenAI's interface: node small_model.mjs MODEL.gguf; prints its port. Answers are kept to the JSON Schema that is
// asked for, or to JSON where none is. One question at a time.
import http from "node:http";
import { getLlama, LlamaChatSession } from "node-llama-cpp";

// As many threads as it takes for a core or two: more of them wait for each other and are a hundred times slower.
const threads = 2;
const llama = await getLlama({ gpu: false, build: "never", logLevel: "error", maxThreads: threads });
const model = await llama.loadModel({ modelPath: process.argv[2] });
// One for all, so that the instructions, which are always the same, are read once.
const sequence = (await model.createContext({ contextSize: 8192, threads })).getSequence();
let turn = Promise.resolve();

async function answer(body, signal) {
    const schema = body.response_format?.json_schema?.schema;
    const grammar = schema ? await llama.createGrammarForJsonSchema(schema) : await llama.getGrammarFor("json");
    const of = (role) => body.messages.filter((message) => message.role === role).map((message) => message.content).join("\n");
    const session = new LlamaChatSession({ contextSequence: sequence, systemPrompt: of("system") });
    const said = await session.promptWithMeta(of("user"), {
        grammar, maxTokens: body.max_tokens, temperature: body.temperature ?? 0, repeatPenalty: { penalty: 1.1 }, signal,
    });
    const cut = said.stopReason === "maxTokens";
    const count = (text) => model.tokenize(text).length;
    return {
        model: "small", usage: { prompt_tokens: count(of("system") + of("user")), completion_tokens: count(said.responseText) },
        choices: [{ finish_reason: cut ? "length" : "stop", message: { role: "assistant", content: said.responseText } }],
    };
}

const server = http.createServer((request, response) => {
    const send = (status, body) => {
        response.writeHead(status, { "content-type": "application/json" });
        response.end(JSON.stringify(body));
    };
    if (request.method === "GET") {
        send(200, { data: [{ id: "small" }] });
        return;
    }
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
        const gone = new AbortController();
        response.on("close", () => gone.abort());
        turn = turn.then(async () => {
            try {
                send(200, await answer(JSON.parse(Buffer.concat(chunks).toString()), gone.signal));
            } catch (error) {
                send(500, { error: { message: String(error) } });
            }
        });
    });
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
