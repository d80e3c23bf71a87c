/** Files to send: a drawn sample, or one of the visitor's. Both as base64 without the `data:` part. */

import type { NewFile } from './sim.ts';

function fromDataUrl(url: string): NewFile {
  const comma = url.indexOf(',');
  return { data: url.slice(comma + 1), mime: /^data:([^;,]+)/u.exec(url)?.[1] ?? 'image/jpeg' };
}

/** A parcel on a door mat with a dent in it, different each time. */
export function drawSample(): NewFile {
  const canvas = document.createElement('canvas');
  canvas.width = 640;
  canvas.height = 480;
  const pen = canvas.getContext('2d');
  if (pen === null) throw new Error('This browser cannot draw.');
  const hue = Math.floor(Math.random() * 360);
  const wall = pen.createLinearGradient(0, 0, 0, 480);
  wall.addColorStop(0, `hsl(${hue} 32% 88%)`);
  wall.addColorStop(1, `hsl(${hue} 26% 70%)`);
  pen.fillStyle = wall;
  pen.fillRect(0, 0, 640, 480);
  pen.fillStyle = `hsl(${hue} 14% 44%)`;
  pen.fillRect(0, 350, 640, 130);
  pen.fillStyle = '#c99b63';
  pen.fillRect(180, 170, 290, 220);
  pen.fillStyle = '#b6854d';
  pen.beginPath();
  pen.moveTo(470, 170);
  pen.lineTo(530, 140);
  pen.lineTo(530, 355);
  pen.lineTo(470, 390);
  pen.fill();
  pen.fillStyle = '#d8b27f';
  pen.beginPath();
  pen.moveTo(180, 170);
  pen.lineTo(250, 140);
  pen.lineTo(530, 140);
  pen.lineTo(470, 170);
  pen.fill();
  pen.fillStyle = 'rgb(255 255 255 / 55%)';
  pen.fillRect(305, 170, 36, 220);
  pen.fillStyle = '#6f4c22';
  pen.beginPath();
  pen.ellipse(236, 318, 36 + Math.random() * 18, 26, 0.5, 0, Math.PI * 2);
  pen.fill();
  return fromDataUrl(canvas.toDataURL('image/jpeg', 0.86));
}

export function readFile(file: File): Promise<NewFile> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve({ ...fromDataUrl(String(reader.result)), name: file.name });
    reader.onerror = () => reject(new Error('The file could not be read.'));
    reader.readAsDataURL(file);
  });
}
