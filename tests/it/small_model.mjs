// A small real model behind OpenAI's interface: node small_model.mjs MODEL.gguf; prints its port. Answers are kept to the JSON Schema that is
// asked for, or to JSON where none is. One question at a time.
import http from "node:http";
import { getLlama, LlamaChatSession } from "node-llama-cpp";

const llama = await getLlama({ gpu: false, build: "never", logLevel: "error" });
const model = await llama.loadModel({ modelPath: process.argv[2] });
let turn = Promise.resolve();

async function answer(body) {
    const schema = body.response_format?.json_schema?.schema;
    const grammar = schema ? await llama.createGrammarForJsonSchema(schema) : await llama.getGrammarFor("json");
    const context = await model.createContext({ contextSize: 8192 });
    try {
        const of = (role) => body.messages.filter((message) => message.role === role).map((message) => message.content).join("\n");
        const session = new LlamaChatSession({ contextSequence: context.getSequence(), systemPrompt: of("system") });
        const said = await session.promptWithMeta(of("user"), {
            grammar, maxTokens: body.max_tokens, temperature: body.temperature ?? 0, repeatPenalty: { penalty: 1.1 },
        });
        const cut = said.stopReason === "maxTokens";
        const count = (text) => model.tokenize(text).length;
        return {
            model: "small", usage: { prompt_tokens: count(of("system") + of("user")), completion_tokens: count(said.responseText) },
            choices: [{ finish_reason: cut ? "length" : "stop", message: { role: "assistant", content: said.responseText } }],
        };
    } finally {
        await context.dispose();
    }
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
        turn = turn.then(async () => {
            try {
                send(200, await answer(JSON.parse(Buffer.concat(chunks).toString())));
            } catch (error) {
                send(500, { error: { message: String(error) } });
            }
        });
    });
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
