// Shows /api/openapi.json for people. All text goes in as text.
'use strict';

const METHODS = ['get', 'post', 'put', 'patch', 'delete', 'options'];

/** An element with a class, text or children. */
function element(name, options = {}, children = []) {
  const made = document.createElement(name);
  if (options.class) made.className = options.class;
  if (options.text !== undefined) made.textContent = options.text;
  for (const child of children) made.append(child);
  return made;
}

/** A schema in one readable form, references followed to a small depth. */
function outline(schema, components, depth = 0) {
  if (!schema) return 'any';
  if (schema.$ref) {
    const name = schema.$ref.split('/').pop();
    return depth > 2 ? name : outline(components[name], components, depth + 1);
  }
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(' | ');
  const options = schema.anyOf || schema.oneOf;
  if (options) return options.map((option) => outline(option, components, depth + 1)).join(' | ');
  if (schema.type === 'array') return `[${outline(schema.items, components, depth + 1)}, …]`;
  if (schema.type === 'object' && schema.properties) {
    const required = new Set(schema.required || []);
    const indent = '  '.repeat(depth + 1);
    const lines = Object.entries(schema.properties).map(
      ([key, value]) => `${indent}${key}${required.has(key) ? '' : '?'}: ${outline(value, components, depth + 1)}`,
    );
    return `{\n${lines.join('\n')}\n${'  '.repeat(depth)}}`;
  }
  return schema.format ? `${schema.type} (${schema.format})` : String(schema.type || 'any');
}

function body(content, components) {
  return Object.entries(content || {}).map(([mime, media]) =>
    element('div', {}, [element('p', { class: 'muted', text: mime }), element('pre', { text: outline(media.schema, components) })]),
  );
}

function parameters(list) {
  const rows = list.map((one) =>
    element('tr', {}, [
      element('td', {}, [element('code', { text: one.name })]),
      element('td', { text: one.in }),
      element('td', { text: one.required ? 'required' : 'optional' }),
      element('td', { text: one.description || (one.schema && one.schema.type) || '' }),
    ]),
  );
  return element('table', {}, rows);
}

function operation(path, method, spec, components) {
  const title = element('summary', {}, [
    element('span', { class: 'method', text: method.toUpperCase() }),
    element('code', { text: path }),
    document.createTextNode(` — ${spec.summary || ''}`),
  ]);
  const parts = [title];
  if (spec.description) parts.push(element('p', { text: spec.description }));
  if (spec['x-roles']) parts.push(element('p', { class: 'muted', text: `Roles: ${spec['x-roles'].join(', ')}` }));
  if (spec.parameters && spec.parameters.length) parts.push(parameters(spec.parameters));
  if (spec.requestBody) parts.push(element('h4', { text: 'Body' }), ...body(spec.requestBody.content, components));
  for (const [status, answer] of Object.entries(spec.responses)) {
    parts.push(element('h4', { text: `${status}: ${answer.description}` }));
    if (status.startsWith('2')) parts.push(...body(answer.content, components));
  }
  const made = element('details', {}, parts);
  made.dataset.words = `${method} ${path} ${spec.summary} ${spec.operationId}`.toLowerCase();
  return made;
}

function show(document_) {
  const sections = new Map(document_.tags.map((tag) => [tag.name, []]));
  for (const [path, item] of Object.entries(document_.paths)) {
    for (const method of METHODS) {
      const spec = item[method];
      if (spec) sections.get(spec.tags[0]).push(operation(path, method, spec, document_.components.schemas));
    }
  }
  const main = document.getElementById('operations');
  main.replaceChildren(element('p', { text: document_.info.description }));
  for (const [name, operations] of sections) {
    main.append(element('section', {}, [element('h2', { text: name }), ...operations]));
  }
}

function filter(event) {
  const word = event.target.value.trim().toLowerCase();
  for (const one of document.querySelectorAll('details')) one.hidden = !one.dataset.words.includes(word);
}

document.getElementById('filter').addEventListener('input', filter);
fetch('/api/openapi.json')
  .then((answer) => answer.json())
  .then(show)
  .catch((error) => { document.getElementById('operations').textContent = `The description could not be loaded: ${error.message}`; });
