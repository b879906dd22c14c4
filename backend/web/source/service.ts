// The service's API: answers, and problems (RFC 9457) in words.

import { Told, knows, say } from "./page.js";

export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  values?: Record<string, string>;
  errors?: { field: string; value: string; rule: string }[];
}

const PREFIX = "urn:causeway:problem:";

/** A refusal of the service, in the page's language where we have words for its type. */
export class Refused extends Told {
  constructor(readonly problem: Problem) {
    super(inWords(problem));
  }

  get code(): string {
    return this.problem.type.replace(PREFIX, "");
  }
}

function inWords(problem: Problem): string {
  const key = `problem.${problem.type.replace(PREFIX, "")}`;
  const first = problem.errors?.[0];
  const detail = first ? `${first.field} ${first.value}: ${first.rule}` : problem.detail;
  return knows(key) ? say(key, { detail }) : `${problem.title}: ${detail}`;
}

/** Fetches JSON; a problem becomes Refused, no answer a Told. */
export async function ask<T>(
  path: string,
  options: { body?: unknown; token?: string | null; method?: string } = {},
): Promise<T> {
  const headers: Record<string, string> = { Accept: "application/json" };
  if (options.token) headers["Authorization"] = `Bearer ${options.token}`;
  if (options.body !== undefined) headers["Content-Type"] = "application/json";
  let answer: Response;
  try {
    answer = await fetch(path, {
      method: options.method ?? (options.body === undefined ? "GET" : "POST"),
      headers,
      body: options.body === undefined ? undefined : JSON.stringify(options.body),
      credentials: "same-origin",
    });
  } catch {
    throw new Told(say("script.offline"));
  }
  if (answer.status === 204) return undefined as T;
  const kind = answer.headers.get("content-type") ?? "";
  if (!answer.ok) {
    if (kind.includes("json")) throw new Refused((await answer.json()) as Problem);
    throw new Told(say("script.offline"));
  }
  return (await answer.json()) as T;
}

export interface Listed<T> {
  data: T[];
  next_cursor: string | null;
  seq?: string;
}

export interface One<T> {
  data: T;
  seq?: string;
}
