"""Contact sheets of a dataset and of a collection of photos."""

from __future__ import annotations

from PIL import Image

from ghibli_studio.curation import collection as collections
from ghibli_studio.curation.photos import Photo
from ghibli_studio.data import dataset as datasets
from ghibli_studio.data.file_source import read_file
from ghibli_studio.imaging.contact_sheet import Cell, page_slice, render_sheet
from ghibli_studio.imaging.crop import crop
from ghibli_studio.imaging.image_io import open_image
from ghibli_studio.workspace.project import Project


def dataset_sheet(project: Project, page: int = 1) -> Image.Image:
    """Return a page of the dataset, counted from 1: each training image, with its source photo if it has one."""
    items = datasets.load(project).items
    cells = []
    for item in page_slice(items, page):
        image = next(datasets.images(project, [item]))
        photo = datasets.source_photo(project, item)
        images = (image,) if photo is None else (crop(photo, (0.5, 0.5), image.width), image)
        cells.append(Cell(f"{item.id} {item.landmark} ({item.split})", images))
    return render_sheet(cells)


def collection_sheet(project: Project, page: int = 1) -> Image.Image:
    """Return a page of the collection, counted from 1: each photo's crop with its accepted, else newest, attempt."""
    collection = collections.load(project)
    photos = page_slice(collection.photos, page)
    return render_sheet([_photo_cell(project, photo, collection.resolution) for photo in photos])


def _photo_cell(project: Project, photo: Photo, resolution: int) -> Cell:
    images = [crop(collections.load_photo(project, photo), photo.center, resolution)]
    attempt = photo.accepted or (photo.attempts[-1] if photo.attempts else None)
    if attempt:
        images.append(open_image(read_file(project.collection.stylized(attempt.file), attempt.file), attempt.file))
    return Cell(f"{photo.id} {photo.name or photo.original} ({photo.state})", tuple(images))
