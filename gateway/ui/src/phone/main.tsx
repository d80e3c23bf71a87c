import { render } from 'preact';

import './phone.css';
import { follow } from './telegram.ts';
import { App } from './view.tsx';

const root = document.getElementById('app');
if (root !== null) render(<App />, root);
void follow();
