/** Pictures that a mail wants loaded from afar. In its HTML stands `<img src="remote:0">`; the browser never learns where that is. */

// As the gateway's sanitiser writes it: in a text there is no `<`, and within an attribute's value no quote.
const PLACE = /(<img(?: [a-z]+="[^"]*")*) src="remote:(\d+)"/gu;

/** The HTML with the gateway's own addresses (absolute) in the pictures' places; those without one have none: then nothing is even tried. */
export function withPictures(html: string, links: readonly string[]): string {
  return html.replaceAll(PLACE, (_, before: string, place: string) => {
    const link = links[Number(place)];
    return link === undefined ? before : `${before} src="${link.replaceAll('"', '%22')}"`;
  });
}
